// WordCount from a text file into a text file, by the SDK's own source and sink.
//
// In streaming mode the lines come from the unbounded source, in one window that ends.
package main

import (
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/textio"
)

func init() {
	rows["word_count_file"] = func(s beam.Scope, task Task) beam.PCollection {
		var read beam.PCollection
		if task.streaming() {
			read = lines(s, task)
		} else {
			read = textio.Read(s, task.option("text"))
		}
		textio.Write(s, pathIn(task.Output, "counts.txt"), countWords(s, read))
		return beam.PCollection{}
	}
}

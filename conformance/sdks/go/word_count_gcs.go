// WordCount written to Google Cloud Storage by the SDK's own connector; the emulator's address is an option.
package main

import (
	"os"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/textio"
)

func init() {
	rows["word_count_gcs"] = func(s beam.Scope, task Task) beam.PCollection {
		if err := os.Setenv("STORAGE_EMULATOR_HOST", task.option("gcs")); err != nil {
			panic(err)
		}
		textio.Write(s, task.option("bucket")+"/counts.txt", countWords(s, lines(s, task)))
		return beam.PCollection{}
	}
}

// WordCount: how often each word occurs.
package main

import (
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

func split(line string, emit func(string)) {
	for _, each := range words(line) {
		emit(each)
	}
}

func tellWordCount(word string, count int) string { return fmt.Sprintf("%s: %d", word, count) }

func countWords(s beam.Scope, lines beam.PCollection) beam.PCollection {
	return beam.ParDo(s, tellWordCount, stats.Count(s, beam.ParDo(s, split, lines)))
}

func init() {
	register.Function2x0(split)
	register.Function2x1(tellWordCount)
	rows["word_count"] = func(s beam.Scope, task Task) beam.PCollection { return countWords(s, lines(s, task)) }
}

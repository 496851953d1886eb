// Windowed WordCount: how often each word occurs in each minute.
package main

import (
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

func tellMinute(w beam.Window, word string, count int) string {
	return fmt.Sprintf("%d %s: %d", minuteOf(w), word, count)
}

func init() {
	register.Function3x1(tellMinute)
	rows["windowed_word_count"] = func(s beam.Scope, task Task) beam.PCollection {
		return beam.ParDo(s, tellMinute, stats.Count(s, beam.ParDo(s, split, perMinute(s, lines(s, task)))))
	}
}

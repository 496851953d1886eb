// Combine: sums by key, and one maximum of all.
package main

import (
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

func one(word string, _ int) (string, int) { return word, 1 }

func lengthOf(word string, _ int) int { return len(word) }

func tellCount(word string, count int) string { return fmt.Sprintf("%s %d", word, count) }

func tellLongest(length int) string { return fmt.Sprintf("longest %d", length) }

func init() {
	register.Function2x2(one)
	register.Function2x1(lengthOf)
	register.Function2x1(tellCount)
	register.Function1x1(tellLongest)
	rows["combine"] = func(s beam.Scope, task Task) beam.PCollection {
		pairs := beam.ParDo(s, said, lines(s, task))
		counts := beam.ParDo(s, tellCount, stats.SumPerKey(s, beam.ParDo(s, one, pairs)))
		longest := beam.ParDo(s, tellLongest, stats.Max(s, beam.ParDo(s, lengthOf, pairs)))
		return beam.Flatten(s, counts, longest)
	}
}

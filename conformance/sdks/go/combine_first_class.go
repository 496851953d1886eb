// Combine with an accumulator of a type of its own: the mean second of each word, as `sum/count`.
package main

import (
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

// sumAndCount is extracted as text, so that neither can stand in for the other.
type sumAndCount struct{ Sum, Count int }

type mean struct{}

func (fn *mean) CreateAccumulator() sumAndCount { return sumAndCount{} }

func (fn *mean) AddInput(a sumAndCount, second int) sumAndCount {
	return sumAndCount{a.Sum + second, a.Count + 1}
}

func (fn *mean) MergeAccumulators(a, b sumAndCount) sumAndCount {
	return sumAndCount{a.Sum + b.Sum, a.Count + b.Count}
}

func (fn *mean) ExtractOutput(a sumAndCount) string { return fmt.Sprintf("%d/%d", a.Sum, a.Count) }

func tellMean(word, mean string) string { return word + " " + mean }

func init() {
	register.Combiner3[sumAndCount, int, string](&mean{})
	register.Function2x1(tellMean)
	rows["combine_first_class"] = func(s beam.Scope, task Task) beam.PCollection {
		return beam.ParDo(s, tellMean, beam.CombinePerKey(s, &mean{}, beam.ParDo(s, said, lines(s, task))))
	}
}

// ParDo with user metrics: a counter of words and a distribution of their lengths.
package main

import (
	"context"
	"strconv"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

var (
	wordsSeen = beam.NewCounter(namespace, "words")
	length    = beam.NewDistribution(namespace, "length")
)

func measure(ctx context.Context, stamp beam.EventTime, line string) string {
	for _, each := range words(line) {
		wordsSeen.Inc(ctx, 1)
		length.Update(ctx, int64(len(each)))
	}
	return strconv.Itoa(seconds(stamp))
}

func init() {
	register.Function3x1(measure)
	rows["user_metrics"] = func(s beam.Scope, task Task) beam.PCollection {
		return beam.ParDo(s, measure, lines(s, task))
	}
}

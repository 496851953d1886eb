// Combine behind a Flatten, so that several bundles have values of one key: what lifting is for.
package main

import (
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func earlyPair(word string, second int, emit func(string, int)) {
	if second < minute {
		emit(word, second)
	}
}

func latePair(word string, second int, emit func(string, int)) {
	if second >= minute {
		emit(word, second)
	}
}

func init() {
	register.Function3x0(earlyPair)
	register.Function3x0(latePair)
	rows["combine_lifted"] = func(s beam.Scope, task Task) beam.PCollection {
		pairs := beam.ParDo(s, said, lines(s, task))
		merged := beam.Flatten(s, beam.ParDo(s, earlyPair, pairs), beam.ParDo(s, latePair, pairs))
		return beam.ParDo(s, tellMean, beam.CombinePerKey(s, &mean{}, merged))
	}
}

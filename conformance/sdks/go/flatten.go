// Flatten: the words of the first minute and those of the others, together again.
package main

import (
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func early(word string, second int, emit func(string)) {
	if second < minute {
		emit("early " + word)
	}
}

func late(word string, second int, emit func(string)) {
	if second >= minute {
		emit("late " + word)
	}
}

func init() {
	register.Function3x0(early)
	register.Function3x0(late)
	rows["flatten"] = func(s beam.Scope, task Task) beam.PCollection {
		pairs := beam.ParDo(s, said, lines(s, task))
		return beam.Flatten(s, beam.ParDo(s, early, pairs), beam.ParDo(s, late, pairs))
	}
}

// WindowInto: words counted in fixed windows of a minute, and in sliding ones that begin every half minute.
package main

import (
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

type tellWindow struct{ Kind string }

func (fn *tellWindow) ProcessElement(w beam.Window, word string, count int) string {
	return fmt.Sprintf("%s%s %s %d", fn.Kind, span(w), word, count)
}

func init() {
	register.DoFn3x1[beam.Window, string, int, string](&tellWindow{})
	rows["window_into"] = func(s beam.Scope, task Task) beam.PCollection {
		pairs := beam.ParDo(s, one, beam.ParDo(s, said, lines(s, task)))
		in := func(kind string, fn *window.Fn) beam.PCollection {
			counts := stats.SumPerKey(s, beam.WindowInto(s, fn, pairs))
			return beam.WindowInto(s, window.NewGlobalWindows(), beam.ParDo(s, &tellWindow{kind + " "}, counts))
		}
		return beam.Flatten(s,
			in("fixed", window.NewFixedWindows(minute*time.Second)),
			in("sliding", window.NewSlidingWindows(minute/2*time.Second, minute*time.Second)))
	}
}

// ParDo with user timers: collects the seconds of each word in its minute, and tells them at the end of the minute.
package main

import (
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/timers"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

type collect struct {
	Seen state.Bag[int]
	End  timers.EventTime
}

func (fn *collect) ProcessElement(
	w beam.Window, p state.Provider, tp timers.Provider, word string, second int, emit func(string),
) error {
	fn.End.Set(tp, w.MaxTimestamp().ToTime())
	return fn.Seen.Add(p, second)
}

func (fn *collect) OnTimer(w beam.Window, p state.Provider, tp timers.Provider, word string, _ timers.Context, emit func(string)) error {
	found, _, err := fn.Seen.Read(p)
	if err != nil {
		return err
	}
	emit(fmt.Sprintf("%d %s: %s", minuteOf(w), word, listed(found)))
	return nil
}

func init() {
	register.DoFn6x1[beam.Window, state.Provider, timers.Provider, string, int, func(string), error](&collect{})
	rows["user_timers"] = func(s beam.Scope, task Task) beam.PCollection {
		pairs := beam.ParDo(s, said, perMinute(s, lines(s, task)))
		return beam.ParDo(s, &collect{state.MakeBagState[int]("seen"), timers.InEventTime("end")}, pairs)
	}
}

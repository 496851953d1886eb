// Splittable DoFn that takes its time, so that a runner may split what is left of it; each position comes once all the same.
package main

import (
	"strconv"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/rtrackers/offsetrange"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

const (
	positions = 100
	// pace is the time for a position: long enough to be asked in the middle of it.
	pace = 30 * time.Millisecond
)

type byPosition struct{}

func (fn *byPosition) CreateInitialRestriction(_ []byte) offsetrange.Restriction {
	return offsetrange.Restriction{Start: 0, End: positions}
}

func (fn *byPosition) SplitRestriction(_ []byte, whole offsetrange.Restriction) []offsetrange.Restriction {
	return []offsetrange.Restriction{whole}
}

func (fn *byPosition) RestrictionSize(_ []byte, rest offsetrange.Restriction) float64 {
	return rest.Size()
}

func (fn *byPosition) CreateTracker(rest offsetrange.Restriction) *sdf.LockRTracker {
	return sdf.NewLockRTracker(offsetrange.NewTracker(rest))
}

func (fn *byPosition) count(rt *sdf.LockRTracker, emit func(string)) {
	for position := rt.GetRestriction().(offsetrange.Restriction).Start; rt.TryClaim(position); position++ {
		time.Sleep(pace)
		emit(strconv.FormatInt(position, 10))
	}
}

type count struct{ byPosition }

func (fn *count) ProcessElement(rt *sdf.LockRTracker, _ []byte, emit func(string)) {
	fn.count(rt, emit)
}

type countOn struct{ byPosition }

func (fn *countOn) ProcessElement(rt *sdf.LockRTracker, _ []byte, emit func(string)) sdf.ProcessContinuation {
	fn.count(rt, emit)
	return sdf.StopProcessing()
}

func init() {
	register.DoFn3x0[*sdf.LockRTracker, []byte, func(string)](&count{})
	register.DoFn3x1[*sdf.LockRTracker, []byte, func(string), sdf.ProcessContinuation](&countOn{})
	rows["dynamic_splits"] = func(s beam.Scope, task Task) beam.PCollection {
		if task.streaming() {
			return beam.ParDo(s, &countOn{}, beam.Impulse(s))
		}
		return beam.ParDo(s, &count{}, beam.Impulse(s))
	}
}

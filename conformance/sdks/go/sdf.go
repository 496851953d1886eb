// Splittable DoFn: a file by its lines, split into three at the start; in streaming mode it also defers its rest, again and again.
package main

import (
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/rtrackers/offsetrange"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

// turn is how many lines are read before the rest is deferred.
const turn = 3

type readInThree struct{ byLine }

func (fn *readInThree) SplitRestriction(_ []byte, whole offsetrange.Restriction) []offsetrange.Restriction {
	return whole.EvenSplits(3)
}

func (fn *readInThree) ProcessElement(rt *sdf.LockRTracker, _ []byte, emit func(beam.EventTime, string)) {
	all := entries(fn.Path)
	for position := rt.GetRestriction().(offsetrange.Restriction).Start; rt.TryClaim(position); position++ {
		emit(all[position].stamp, all[position].text)
	}
}

type followInTurns struct{ byLine }

func (fn *followInTurns) CreateWatermarkEstimator() *sdf.ManualWatermarkEstimator {
	return &sdf.ManualWatermarkEstimator{}
}

func (fn *followInTurns) ProcessElement(
	watermark *sdf.ManualWatermarkEstimator, rt *sdf.LockRTracker, _ []byte, emit func(beam.EventTime, string),
) sdf.ProcessContinuation {
	all := entries(fn.Path)
	start := rt.GetRestriction().(offsetrange.Restriction).Start
	for position := start; rt.TryClaim(position); position++ {
		watermark.UpdateWatermark(all[position].watermark.ToTime())
		emit(all[position].stamp, all[position].text)
		if position-start == turn-1 {
			return sdf.ResumeProcessingIn(0)
		}
	}
	return sdf.StopProcessing()
}

func tellLine(stamp beam.EventTime, line string) string {
	return fmt.Sprintf("%d %s", seconds(stamp), line)
}

func init() {
	register.DoFn3x0[*sdf.LockRTracker, []byte, func(beam.EventTime, string)](&readInThree{})
	register.DoFn4x1[*sdf.ManualWatermarkEstimator, *sdf.LockRTracker, []byte, func(beam.EventTime, string), sdf.ProcessContinuation](
		&followInTurns{})
	register.Function2x1(tellLine)
	rows["sdf"] = func(s beam.Scope, task Task) beam.PCollection {
		if task.streaming() {
			return beam.ParDo(s, tellLine, beam.ParDo(s, &followInTurns{byLine{task.Input}}, beam.Impulse(s)))
		}
		return beam.ParDo(s, tellLine, beam.ParDo(s, &readInThree{byLine{task.Input}}, beam.Impulse(s)))
	}
}

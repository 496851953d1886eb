// Impulse: one element, empty, at the beginning of time.
package main

import (
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func tellImpulse(stamp beam.EventTime, element []byte) string {
	return fmt.Sprintf("%d bytes at %d", len(element), stamp.Milliseconds())
}

func init() {
	register.Function2x1(tellImpulse)
	rows["impulse"] = func(s beam.Scope, task Task) beam.PCollection {
		return beam.ParDo(s, tellImpulse, beam.Impulse(s))
	}
}

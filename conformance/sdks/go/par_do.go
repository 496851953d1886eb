// ParDo: each line becomes its words, at the line's timestamp.
package main

import (
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func tellSaid(word string, second int) string { return fmt.Sprintf("%d %s", second, word) }

func init() {
	register.Function2x1(tellSaid)
	rows["par_do"] = func(s beam.Scope, task Task) beam.PCollection {
		return beam.ParDo(s, tellSaid, beam.ParDo(s, said, lines(s, task)))
	}
}

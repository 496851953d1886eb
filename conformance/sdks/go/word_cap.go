// WordCap: every line in capitals, empty ones left out.
package main

import (
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func capitals(line string, emit func(string)) {
	if line != "" {
		emit(strings.ToUpper(line))
	}
}

func init() {
	register.Function2x0(capitals)
	rows["word_cap"] = func(s beam.Scope, task Task) beam.PCollection {
		return beam.ParDo(s, capitals, lines(s, task))
	}
}

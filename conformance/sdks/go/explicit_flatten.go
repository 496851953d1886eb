// Flatten as a step of its own: one collection twice and another once, grouped behind it.
package main

import (
	"fmt"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func isQuestion(line string) bool { return strings.HasSuffix(line, "?") }

func isQuestionOnly(line string, emit func(string)) {
	if isQuestion(line) {
		emit(line)
	}
}

func ones(line string, emit func(string, int)) {
	for _, each := range words(line) {
		emit(each, 1)
	}
}

func tellSum(word string, found func(*int) bool) string {
	sum := 0
	for each := 0; found(&each); {
		sum += each
	}
	return fmt.Sprintf("%s %d", word, sum)
}

func init() {
	register.Function2x0(isQuestionOnly)
	register.Function2x0(ones)
	register.Function2x1(tellSum)
	rows["explicit_flatten"] = func(s beam.Scope, task Task) beam.PCollection {
		everything := lines(s, task)
		merged := beam.Flatten(s, everything, everything, beam.ParDo(s, isQuestionOnly, everything))
		return beam.ParDo(s, tellSum, beam.GroupByKey(s, beam.ParDo(s, ones, merged)))
	}
}

// CoGroupByKey: the seconds of each word in questions and elsewhere, side by side.
package main

import (
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func isNoQuestion(line string, emit func(string)) {
	if !isQuestion(line) {
		emit(line)
	}
}

func tellBoth(word string, asked, told func(*int) bool) string {
	return word + ": " + joined(asked) + " | " + joined(told)
}

func init() {
	register.Function2x0(isNoQuestion)
	register.Function3x1(tellBoth)
	rows["co_group_by_key"] = func(s beam.Scope, task Task) beam.PCollection {
		everything := lines(s, task)
		asked := beam.ParDo(s, said, beam.ParDo(s, isQuestionOnly, everything))
		told := beam.ParDo(s, said, beam.ParDo(s, isNoQuestion, everything))
		return beam.ParDo(s, tellBoth, beam.CoGroupByKey(s, asked, told))
	}
}

// ParDo with several outputs: short words, long ones, questions.
package main

import (
	"strconv"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func sortWords(stamp beam.EventTime, line string, short, long, question func(string)) {
	for _, each := range words(line) {
		if len(each) <= 3 {
			short(each)
		} else {
			long(each)
		}
	}
	if strings.HasSuffix(line, "?") {
		question(strconv.Itoa(seconds(stamp)))
	}
}

type prefix struct{ Text string }

func (fn *prefix) ProcessElement(text string) string { return fn.Text + " " + text }

func init() {
	register.Function5x0(sortWords)
	register.DoFn1x1[string, string](&prefix{})
	rows["multiple_output"] = func(s beam.Scope, task Task) beam.PCollection {
		short, long, question := beam.ParDo3(s, sortWords, lines(s, task))
		return beam.Flatten(s,
			beam.ParDo(s, &prefix{"short"}, short), beam.ParDo(s, &prefix{"long"}, long), beam.ParDo(s, &prefix{"question"}, question))
	}
}

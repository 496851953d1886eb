// ParDo with side inputs: the words of the same minute, as an iterable and as a multimap.
package main

import (
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func compareWords(
	stamp beam.EventTime, line string, everything func(*string, *int) bool, byWord func(string) func(*int) bool, emit func(string),
) {
	count := 0
	var someWord string
	var someSecond int
	for everything(&someWord, &someSecond) {
		count++
	}
	emit(fmt.Sprintf("%d * %d", seconds(stamp), count))
	for _, each := range words(line) {
		count := 0
		for found := byWord(each); found(&someSecond); {
			count++
		}
		emit(fmt.Sprintf("%d %s %d", seconds(stamp), each, count))
	}
}

func init() {
	register.Function5x0(compareWords)
	rows["side_input"] = func(s beam.Scope, task Task) beam.PCollection {
		main := perMinute(s, lines(s, task))
		side := beam.SideInput{Input: beam.ParDo(s, said, main)}
		return beam.ParDo(s, compareWords, main, side, side)
	}
}

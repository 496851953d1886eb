// ParDo with user state: numbers the occurrences of each word in its minute, kept in a value and in a bag from bundle to bundle.
package main

import (
	"fmt"
	"sort"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/state"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

type number struct {
	Last state.Value[int]
	Seen state.Bag[int]
}

func (fn *number) ProcessElement(w beam.Window, p state.Provider, word string, _ int, emit func(string)) error {
	last, _, err := fn.Last.Read(p)
	if err != nil {
		return err
	}
	if err := fn.Last.Write(p, last+1); err != nil {
		return err
	}
	if err := fn.Seen.Add(p, last+1); err != nil {
		return err
	}
	kept, _, err := fn.Seen.Read(p)
	if err != nil {
		return err
	}
	// The two kinds of state have to be of one mind.
	sort.Ints(kept)
	if len(kept) != last+1 || kept[0] != 1 || kept[last] != last+1 {
		emit(fmt.Sprintf("%s: %d but %v", word, last+1, kept))
		return nil
	}
	emit(fmt.Sprintf("%d %s %d", minuteOf(w), word, last+1))
	return nil
}

func init() {
	register.DoFn5x1[beam.Window, state.Provider, string, int, func(string), error](&number{})
	rows["user_state"] = func(s beam.Scope, task Task) beam.PCollection {
		pairs := inTwo(s, beam.ParDo(s, said, perMinute(s, lines(s, task))))
		return beam.ParDo(s, &number{state.MakeValueState[int]("last"), state.MakeBagState[int]("seen")}, pairs)
	}
}

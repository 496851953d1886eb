// GroupByKey: the seconds of each word.
package main

import (
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func tellGroup(word string, found func(*int) bool) string { return word + ": " + joined(found) }

func init() {
	register.Function2x1(tellGroup)
	rows["group_by_key"] = func(s beam.Scope, task Task) beam.PCollection {
		return beam.ParDo(s, tellGroup, beam.GroupByKey(s, beam.ParDo(s, said, lines(s, task))))
	}
}

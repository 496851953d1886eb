// Combine of keys that have values in more than one bundle: what lifting is for.
package main

import "github.com/apache/beam/sdks/v2/go/pkg/beam"

func init() {
	rows["combine_lifted"] = func(s beam.Scope, task Task) beam.PCollection {
		pairs := inTwo(s, beam.ParDo(s, said, lines(s, task)))
		return beam.ParDo(s, tellMean, beam.CombinePerKey(s, &mean{}, pairs))
	}
}

// Cross-language: a transform that another SDK's expansion service makes, run by that SDK's worker, between two ParDos of this one.
package main

import (
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/typex"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/util/reflectx"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

type prefixed struct {
	Data string `beam:"data"`
}

func andBack(text string) string { return text + " and back" }

func init() {
	beam.RegisterType(reflect.TypeOf(prefixed{}))
	register.Function1x1(andBack)
	rows["cross_language"] = func(s beam.Scope, task Task) beam.PCollection {
		said := beam.ParDo(s, split, lines(s, task))
		there := beam.CrossLanguage(s, "beam:transforms:xlang:test:prefix", beam.CrossLanguagePayload(prefixed{"far "}),
			task.option("expansion"), beam.UnnamedInput(said), beam.UnnamedOutput(typex.New(reflectx.String)))
		return beam.ParDo(s, andBack, there[beam.UnnamedOutputTag()])
	}
}

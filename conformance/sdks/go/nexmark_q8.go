// Nexmark, query 8: who opened auctions in the same ten seconds in which they came, joined by CoGroupByKey.
package main

import (
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

func nameOf(person event) (int, string) { return person.ID, person.Name }

func sellerOf(auction event) (int, int) { return auction.Seller, auction.ID }

func tellJoined(person int, names func(*string) bool, auctions func(*int) bool, emit func(string)) {
	opened := 0
	for auction := 0; auctions(&auction); {
		opened++
	}
	for name := ""; names(&name); {
		if opened > 0 {
			emit(fmt.Sprintf("%d %s %d", person, name, opened))
		}
	}
}

func init() {
	register.Function1x2(nameOf)
	register.Function1x2(sellerOf)
	register.Function4x0(tellJoined)
	rows["nexmark_q8"] = func(s beam.Scope, task Task) beam.PCollection {
		events := tenSeconds(s, lines(s, task))
		names := beam.ParDo(s, nameOf, beam.ParDo(s, &ofKind{"person"}, events))
		auctions := beam.ParDo(s, sellerOf, beam.ParDo(s, &ofKind{"auction"}, events))
		return beam.ParDo(s, tellJoined, beam.CoGroupByKey(s, names, auctions))
	}
}

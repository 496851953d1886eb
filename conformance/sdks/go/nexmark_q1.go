// Nexmark, query 1: bids in another currency, at 89 cents.
package main

import (
	"encoding/json"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

// An event is a person, an auction or a bid; each kind has some of the fields.
type event struct {
	Kind    string `json:"kind"`
	ID      int    `json:"id"`
	Name    string `json:"name"`
	Seller  int    `json:"seller"`
	Auction int    `json:"auction"`
	Bidder  int    `json:"bidder"`
	Price   int    `json:"price"`
	T       int    `json:"t"`
}

// ofKind emits the event of a line, where it is of that kind.
type ofKind struct{ Kind string }

func (fn *ofKind) ProcessElement(line string, emit func(event)) error {
	var each event
	if err := json.Unmarshal([]byte(line), &each); err != nil {
		return err
	}
	if each.Kind == fn.Kind {
		emit(each)
	}
	return nil
}

func tellConverted(bid event) string {
	return fmt.Sprintf("%d %d %d %d", bid.Auction, bid.Bidder, bid.Price*89/100, bid.T)
}

func init() {
	register.DoFn2x1[string, func(event), error](&ofKind{})
	register.Function1x1(tellConverted)
	register.Emitter1[event]()
	rows["nexmark_q1"] = func(s beam.Scope, task Task) beam.PCollection {
		return beam.ParDo(s, tellConverted, beam.ParDo(s, &ofKind{"bid"}, lines(s, task)))
	}
}

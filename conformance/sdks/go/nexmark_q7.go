// Nexmark, query 7: the highest bids of each ten seconds; the highest price is a side input of the same window.
package main

import (
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

func priceOf(bid event) int { return bid.Price }

func highest(bid event, price int, emit func(string)) {
	if bid.Price == price {
		emit(fmt.Sprintf("%d %d %d %d", bid.Auction, bid.Bidder, bid.Price, bid.T))
	}
}

func tenSeconds(s beam.Scope, events beam.PCollection) beam.PCollection {
	return beam.WindowInto(s, window.NewFixedWindows(10*time.Second), events)
}

func init() {
	register.Function1x1(priceOf)
	register.Function3x0(highest)
	rows["nexmark_q7"] = func(s beam.Scope, task Task) beam.PCollection {
		bids := tenSeconds(s, beam.ParDo(s, &ofKind{"bid"}, lines(s, task)))
		price := stats.Max(s, beam.ParDo(s, priceOf, bids))
		return beam.ParDo(s, highest, bids, beam.SideInput{Input: price})
	}
}

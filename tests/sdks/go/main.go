// Word counts with Beam's Go SDK, in the global window or in windows of one minute.
//
// Nothing here knows the runner under test: --runner, --endpoint and --environment_type are the SDK's own flags.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/mtime"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx"
)

var (
	windowed = flag.Bool("windowed", false, "Count in fixed windows of one minute.")
	spoiled  = flag.Bool("spoiled", false, "Count something else, so that the assertion has to fail the job.")
)

// Each line stands for what was said in one minute, counted from the epoch.
var lines = []string{"the cat and the dog", "the dog", "a cat"}

func timed(minute int, emit func(beam.EventTime, int)) {
	emit(mtime.FromTime(time.Unix(int64(60*minute), 0)), minute)
}

func split(minute int, emit func(string)) {
	for _, word := range strings.Fields(lines[minute]) {
		emit(word)
	}
}

func formatCount(word string, count int) string {
	return fmt.Sprintf("%s %d", word, count)
}

func formatWindowed(w beam.Window, word string, count int) string {
	minute := (w.MaxTimestamp() + 1).Milliseconds() / 60000
	return fmt.Sprintf("%d %s %d", minute-1, word, count)
}

func init() {
	register.Function2x0(timed)
	register.Function2x0(split)
	register.Function2x1(formatCount)
	register.Function3x1(formatWindowed)
	register.Emitter1[string]()
	register.Emitter2[beam.EventTime, int]()
}

func main() {
	flag.Parse()
	beam.Init()
	p, s := beam.NewPipelineWithRoot()
	said := []int{0, 1, 2}
	if *spoiled {
		said = said[1:]
	}
	minutes := beam.ParDo(s, timed, beam.CreateList(s, said))
	if *windowed {
		minutes = beam.WindowInto(s, window.NewFixedWindows(time.Minute), minutes)
	}
	counts := stats.Count(s, beam.ParDo(s, split, minutes))
	if *windowed {
		passert.EqualsList(s, beam.WindowInto(s, window.NewGlobalWindows(), beam.ParDo(s, formatWindowed, counts)),
			[]string{"0 the 2", "0 cat 1", "0 and 1", "0 dog 1", "1 the 1", "1 dog 1", "2 a 1", "2 cat 1"})
	} else {
		passert.EqualsList(s, beam.ParDo(s, formatCount, counts), []string{"the 3", "cat 2", "and 1", "dog 2", "a 1"})
	}
	if err := beamx.Run(context.Background(), p); err != nil {
		log.Fatalf("the job failed: %v", err)
	}
}

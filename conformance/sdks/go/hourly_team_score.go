// The mobile game, second part: the sum of every team's scores by the hour, between 12:30 and 15:30.
package main

import (
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

const halfAnHourMs = 1_800_000

func byTeam(line string) (string, int) {
	each := playOf(line)
	return each.Team, each.Score
}

func inTime(line string, emit func(string)) {
	if t := playOf(line).T; halfAnHourMs < t && t < 7*halfAnHourMs {
		emit(line)
	}
}

func tellHour(w beam.Window, team string, score int) string {
	return fmt.Sprintf("%s %d %d", team, w.(window.IntervalWindow).Start.Milliseconds(), score)
}

func hourly(s beam.Scope, plays beam.PCollection) beam.PCollection {
	return beam.WindowInto(s, window.NewFixedWindows(time.Hour), plays)
}

func init() {
	register.Function1x2(byTeam)
	register.Function2x0(inTime)
	register.Function3x1(tellHour)
	rows["hourly_team_score"] = func(s beam.Scope, task Task) beam.PCollection {
		scores := beam.ParDo(s, byTeam, hourly(s, beam.ParDo(s, inTime, lines(s, task))))
		return beam.ParDo(s, tellHour, stats.SumPerKey(s, scores))
	}
}

// The mobile game, fourth part: the sum of every team's scores by the hour, without users who score more than twice the hour's mean.
package main

import (
	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

func isRobot(user string, total int, mean float64, emit func(string)) {
	if float64(total) > 2*mean {
		emit(user)
	}
}

func isHonest(line string, robots func(*string) bool, emit func(string)) {
	user := playOf(line).User
	for robot := ""; robots(&robot); {
		if robot == user {
			return
		}
	}
	emit(line)
}

func init() {
	register.Function4x0(isRobot)
	register.Function3x0(isHonest)
	register.Iter1[string]()
	rows["game_stats"] = func(s beam.Scope, task Task) beam.PCollection {
		plays := hourly(s, lines(s, task))
		totals := stats.SumPerKey(s, beam.ParDo(s, byUser, plays))
		mean := stats.Mean(s, beam.DropKey(s, totals))
		robots := beam.ParDo(s, isRobot, totals, beam.SideInput{Input: mean})
		honest := beam.ParDo(s, isHonest, plays, beam.SideInput{Input: robots})
		return beam.ParDo(s, tellHour, stats.SumPerKey(s, beam.ParDo(s, byTeam, honest)))
	}
}

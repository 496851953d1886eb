// The mobile game, first part: the sum of every user's scores.
package main

import (
	"strconv"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

// A play is one line: user, team, score, time in milliseconds.
type play struct {
	User, Team string
	Score, T   int
}

func playOf(line string) play {
	parts := strings.Split(line, ",")
	score, err := strconv.Atoi(parts[2])
	if err != nil {
		panic(err)
	}
	t, err := strconv.Atoi(parts[3])
	if err != nil {
		panic(err)
	}
	return play{parts[0], parts[1], score, t}
}

func byUser(line string) (string, int) {
	each := playOf(line)
	return each.User, each.Score
}

func init() {
	register.Function1x2(byUser)
	rows["user_score"] = func(s beam.Scope, task Task) beam.PCollection {
		return beam.ParDo(s, tellCount, stats.SumPerKey(s, beam.ParDo(s, byUser, lines(s, task))))
	}
}

// The driver of the Go SDK: reads tasks from standard input, a JSON object a line, runs each, and answers a JSON object a line.
//
// The worker is this process (LOOPBACK). It ends when its standard input does, in the middle of a job too.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/gcs"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem/local"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal"
)

// A row builds its pipeline and answers the lines to observe, or an invalid collection where it writes files of its own.
type row func(s beam.Scope, task Task) beam.PCollection

var rows = map[string]row{}

type answer struct {
	ID      int            `json:"id"`
	State   string         `json:"state"`
	Error   string         `json:"error"`
	Metrics map[string]any `json:"metrics"`
}

func run(task Task) (metrics map[string]any, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	build, known := rows[task.Row]
	if !known {
		return nil, fmt.Errorf("there is no row %q", task.Row)
	}
	*jobopts.Endpoint = task.Endpoint
	*jobopts.EnvironmentType = "LOOPBACK"
	*jobopts.JobName = strings.ReplaceAll(task.Row, "_", "-") + "-" + task.Mode
	p, s := beam.NewPipelineWithRoot()
	if lines := build(s, task); lines.IsValid() {
		observed(s, task, lines)
	}
	result, err := universal.Execute(context.Background(), p)
	if err != nil {
		return nil, err
	}
	return metricsOf(result), nil
}

// metricsOf has the user's metrics by name, committed where the runner told them, else attempted.
func metricsOf(result beam.PipelineResult) map[string]any {
	found := map[string]any{}
	all := result.Metrics().AllMetrics()
	for _, counter := range all.Counters() {
		if counter.Key.Namespace == namespace {
			found[counter.Key.Name] = counter.Result()
		}
	}
	for _, distribution := range all.Distributions() {
		if distribution.Key.Namespace == namespace {
			value := distribution.Result()
			found[distribution.Key.Name] = map[string]int64{
				"count": value.Count, "sum": value.Sum, "min": value.Min, "max": value.Max,
			}
		}
	}
	return found
}

func main() {
	flag.Parse()
	beam.Init()
	answers := json.NewEncoder(os.Stdout)
	os.Stdout = os.Stderr // what libraries print is no answer
	tasks := make(chan Task)
	go func() {
		requests := bufio.NewScanner(os.Stdin)
		requests.Buffer(nil, 1<<20)
		for requests.Scan() {
			var task Task
			if err := json.Unmarshal(requests.Bytes(), &task); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(2)
			}
			tasks <- task
		}
		os.Exit(0)
	}()
	_ = answers.Encode(map[string]string{"ready": core.SdkVersion})
	for task := range tasks {
		said := answer{ID: task.ID, State: "DONE"}
		metrics, err := run(task)
		if err != nil {
			said.State, said.Error = "FAILED", err.Error()
		}
		said.Metrics = metrics
		_ = answers.Encode(said)
	}
}

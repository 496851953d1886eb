// What every row is given, and the two ends of its pipeline: a source of lines with timestamps, and an observer that writes files.
//
// The source uses Impulse and a ParDo in batch mode; in streaming mode the ParDo is a splittable function that may go on for ever as far
// as its type tells, and tells the watermark that stands in the file.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/mtime"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/sdf"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/rtrackers/offsetrange"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
)

const (
	namespace = "conformance"
	minute    = 60
)

// Task is one row in one mode: where its input is, and where its output belongs.
type Task struct {
	ID       int            `json:"id"`
	Row      string         `json:"row"`
	Mode     string         `json:"mode"`
	Endpoint string         `json:"endpoint"`
	Input    string         `json:"input"`
	Output   string         `json:"output"`
	Options  map[string]any `json:"options"`
}

func (t Task) streaming() bool { return t.Mode == "streaming" }

func (t Task) option(name string) string {
	value, _ := t.Options[name].(string)
	return value
}

type entry struct {
	watermark, stamp beam.EventTime
	text             string
}

// entries reads the input: before each line the watermark and the line's timestamp, both in milliseconds.
func entries(path string) []entry {
	file, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	var found []entry
	for lines := bufio.NewScanner(file); lines.Scan(); {
		parts := strings.SplitN(lines.Text(), "\t", 3)
		found = append(found, entry{milliseconds(parts[0]), milliseconds(parts[1]), parts[2]})
	}
	return found
}

func milliseconds(text string) beam.EventTime {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return mtime.FromMilliseconds(value)
}

type readLines struct{ Path string }

func (fn *readLines) ProcessElement(_ []byte, emit func(beam.EventTime, string)) {
	for _, each := range entries(fn.Path) {
		emit(each.stamp, each.text)
	}
}

// byLine is what splittable functions over the lines of a file have in common.
type byLine struct{ Path string }

func (fn *byLine) CreateInitialRestriction(_ []byte) offsetrange.Restriction {
	return offsetrange.Restriction{Start: 0, End: int64(len(entries(fn.Path)))}
}

func (fn *byLine) SplitRestriction(_ []byte, whole offsetrange.Restriction) []offsetrange.Restriction {
	return []offsetrange.Restriction{whole}
}

func (fn *byLine) RestrictionSize(_ []byte, rest offsetrange.Restriction) float64 { return rest.Size() }

func (fn *byLine) CreateTracker(rest offsetrange.Restriction) *sdf.LockRTracker {
	return sdf.NewLockRTracker(offsetrange.NewTracker(rest))
}

type followLines struct{ byLine }

func (fn *followLines) CreateWatermarkEstimator() *sdf.ManualWatermarkEstimator {
	return &sdf.ManualWatermarkEstimator{}
}

func (fn *followLines) ProcessElement(
	watermark *sdf.ManualWatermarkEstimator, rt *sdf.LockRTracker, _ []byte, emit func(beam.EventTime, string),
) sdf.ProcessContinuation {
	all := entries(fn.Path)
	for position := rt.GetRestriction().(offsetrange.Restriction).Start; rt.TryClaim(position); position++ {
		each := all[position]
		watermark.UpdateWatermark(each.watermark.ToTime())
		emit(each.stamp, each.text)
	}
	return sdf.StopProcessing()
}

// lines has the lines of the task's input: bounded in batch mode; in streaming mode unbounded, and in one window that has them all, since
// an unbounded collection cannot be grouped in the global window.
func lines(s beam.Scope, task Task) beam.PCollection {
	s = s.Scope("lines")
	if !task.streaming() {
		return beam.ParDo(s, &readLines{task.Input}, beam.Impulse(s))
	}
	found := beam.ParDo(s, &followLines{byLine{task.Input}}, beam.Impulse(s))
	return beam.WindowInto(s, window.NewFixedWindows(24*time.Hour), found)
}

// observe writes the lines of each bundle to a file of its own.
type observe struct {
	Directory string
	seen      []string
}

func (fn *observe) StartBundle() { fn.seen = nil }

func (fn *observe) ProcessElement(line string) { fn.seen = append(fn.seen, line) }

func (fn *observe) FinishBundle() error {
	if len(fn.seen) == 0 {
		return nil
	}
	file, err := os.CreateTemp(fn.Directory, "*.part")
	if err != nil {
		return err
	}
	for _, line := range fn.seen {
		fmt.Fprintln(file, line)
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), strings.TrimSuffix(file.Name(), ".part")+".txt")
}

func observed(s beam.Scope, task Task, lines beam.PCollection) {
	beam.ParDo0(s.Scope("observe"), &observe{Directory: task.Output}, lines)
}

var word = regexp.MustCompile("[a-z']+")

// words are runs of letters and apostrophes, in lower case.
func words(line string) []string { return word.FindAllString(strings.ToLower(line), -1) }

func seconds(stamp beam.EventTime) int { return int(stamp.Milliseconds() / 1000) }

// said emits (word, second) of each word of a line.
func said(stamp beam.EventTime, line string, emit func(string, int)) {
	for _, each := range words(line) {
		emit(each, seconds(stamp))
	}
}

// span is a window as `start-end` in seconds.
func span(w beam.Window) string {
	interval := w.(window.IntervalWindow)
	return fmt.Sprintf("%d-%d", interval.Start.Milliseconds()/1000, interval.End.Milliseconds()/1000)
}

// minuteOf is the number of the minute that a window is.
func minuteOf(w beam.Window) int { return int((w.MaxTimestamp().Milliseconds()+1)/1000/minute) - 1 }

// joined has the numbers of a group in order.
func joined(numbers func(*int) bool) string {
	var found []int
	for each := 0; numbers(&each); {
		found = append(found, each)
	}
	return listed(found)
}

func listed(numbers []int) string {
	sort.Ints(numbers)
	texts := make([]string, len(numbers))
	for i, each := range numbers {
		texts[i] = strconv.Itoa(each)
	}
	return strings.Join(texts, ",")
}

// perMinute puts lines into windows of a minute.
func perMinute(s beam.Scope, lines beam.PCollection) beam.PCollection {
	return beam.WindowInto(s, window.NewFixedWindows(minute*time.Second), lines)
}

func atOnce(word string, second int, emit func(string, int)) {
	if second%2 == 0 {
		emit(word, second)
	}
}

func notAtOnce(word string, second int, emit func(string, int)) {
	if second%2 == 1 {
		emit(word, second)
	}
}

func letGo(word string, found func(*int) bool, emit func(string, int)) {
	for second := 0; found(&second); {
		emit(word, second)
	}
}

// inTwo has the pairs of even seconds at once, the others behind a grouping, so that keys have values in more than one bundle.
func inTwo(s beam.Scope, pairs beam.PCollection) beam.PCollection {
	s = s.Scope("in two")
	behind := beam.ParDo(s, letGo, beam.GroupByKey(s, beam.ParDo(s, notAtOnce, pairs)))
	return beam.Flatten(s, beam.ParDo(s, atOnce, pairs), behind)
}

func pathIn(directory, name string) string { return filepath.Join(directory, name) }

func init() {
	register.DoFn2x0[[]byte, func(beam.EventTime, string)](&readLines{})
	register.DoFn4x1[*sdf.ManualWatermarkEstimator, *sdf.LockRTracker, []byte, func(beam.EventTime, string), sdf.ProcessContinuation](
		&followLines{})
	register.DoFn1x0[string](&observe{})
	register.Function3x0(said)
	register.Function3x0(atOnce)
	register.Function3x0(notAtOnce)
	register.Function3x0(letGo)
	register.Emitter2[beam.EventTime, string]()
	register.Emitter2[string, int]()
	register.Emitter1[string]()
	register.Iter1[int]()
	register.Iter2[string, int]()
}

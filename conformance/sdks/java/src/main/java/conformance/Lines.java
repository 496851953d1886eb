package conformance;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.io.range.OffsetRange;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.DoFn.UnboundedPerElement;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.GroupByKey;
import org.apache.beam.sdk.transforms.Impulse;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.splittabledofn.ManualWatermarkEstimator;
import org.apache.beam.sdk.transforms.splittabledofn.RestrictionTracker;
import org.apache.beam.sdk.transforms.splittabledofn.WatermarkEstimators;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.IntervalWindow;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.joda.time.Duration;
import org.joda.time.Instant;

/**
 * The two ends of every row: a source of lines with timestamps, and an observer that writes files.
 *
 * <p>The source uses Impulse and a ParDo in batch mode; in streaming mode the ParDo is a splittable function declared unbounded, which
 * tells the watermark that stands in the file.
 */
public final class Lines {
  public static final int MINUTE = 60;
  private static final Pattern WORD = Pattern.compile("[a-z']+");

  private Lines() {}

  /** One line of the input: the watermark before it, its timestamp, its text. */
  public static final class Entry {
    public final Instant watermark;
    public final Instant stamp;
    public final String text;

    Entry(String line) {
      String[] parts = line.split("\t", 3);
      watermark = new Instant(Long.parseLong(parts[0]));
      stamp = new Instant(Long.parseLong(parts[1]));
      text = parts[2];
    }
  }

  public static List<Entry> entries(String path) {
    try {
      return Files.readAllLines(Paths.get(path), StandardCharsets.UTF_8).stream().map(Entry::new).collect(Collectors.toList());
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
  }

  private static final class Read extends DoFn<byte[], String> {
    private final String path;

    Read(String path) {
      this.path = path;
    }

    @ProcessElement
    public void process(OutputReceiver<String> out) {
      entries(path).forEach(entry -> out.outputWithTimestamp(entry.text, entry.stamp));
    }
  }

  @UnboundedPerElement
  private static final class Follow extends DoFn<byte[], String> {
    private final String path;

    Follow(String path) {
      this.path = path;
    }

    @GetInitialRestriction
    public OffsetRange all() {
      return new OffsetRange(0, entries(path).size());
    }

    @GetInitialWatermarkEstimatorState
    public Instant watermarkState(@Timestamp Instant stamp) {
      return stamp;
    }

    @NewWatermarkEstimator
    public WatermarkEstimators.Manual watermark(@WatermarkEstimatorState Instant state) {
      return new WatermarkEstimators.Manual(state);
    }

    @ProcessElement
    public ProcessContinuation process(
        RestrictionTracker<OffsetRange, Long> tracker, ManualWatermarkEstimator<Instant> watermark, OutputReceiver<String> out) {
      List<Entry> all = entries(path);
      for (long position = tracker.currentRestriction().getFrom(); tracker.tryClaim(position); position++) {
        Entry entry = all.get((int) position);
        watermark.setWatermark(entry.watermark);
        out.outputWithTimestamp(entry.text, entry.stamp);
      }
      return ProcessContinuation.stop();
    }
  }

  /**
   * The lines of the task's input: bounded in batch mode; in streaming mode unbounded, and in one window that has them all, since an
   * unbounded collection cannot be grouped in the global window.
   */
  public static PCollection<String> of(Pipeline pipeline, Task task) {
    PCollection<byte[]> impulse = pipeline.apply("impulse", Impulse.create());
    if (!task.streaming()) {
      return impulse.apply("lines", ParDo.of(new Read(task.input)));
    }
    return impulse
        .apply("lines", ParDo.of(new Follow(task.input)))
        .apply("one window", Window.into(FixedWindows.of(Duration.standardDays(1))));
  }

  /** Writes the lines of each bundle to a file of its own. */
  private static final class Observe extends DoFn<String, Void> {
    private final String directory;
    private transient List<String> seen;

    Observe(String directory) {
      this.directory = directory;
    }

    @StartBundle
    public void start() {
      seen = new ArrayList<>();
    }

    @ProcessElement
    public void process(@Element String line) {
      seen.add(line);
    }

    @FinishBundle
    public void finish() throws IOException {
      if (seen.isEmpty()) {
        return;
      }
      String name = UUID.randomUUID().toString();
      Path part = Paths.get(directory, name + ".part");
      Files.write(part, seen, StandardCharsets.UTF_8);
      Files.move(part, Paths.get(directory, name + ".txt"), StandardCopyOption.ATOMIC_MOVE);
    }
  }

  static void observe(PCollection<String> lines, Task task) {
    lines.apply("observe", ParDo.of(new Observe(task.output)));
  }

  /** Runs of letters and apostrophes, in lower case. */
  public static List<String> words(String line) {
    List<String> found = new ArrayList<>();
    for (Matcher matcher = WORD.matcher(line.toLowerCase()); matcher.find(); ) {
      found.add(matcher.group());
    }
    return found;
  }

  /** (word, second) of each word of a line. */
  public static final class Said extends DoFn<String, KV<String, Integer>> {
    @ProcessElement
    public void process(@Element String line, @Timestamp Instant stamp, OutputReceiver<KV<String, Integer>> out) {
      words(line).forEach(word -> out.output(KV.of(word, seconds(stamp))));
    }
  }

  private static final class LetGo extends DoFn<KV<String, Iterable<Integer>>, KV<String, Integer>> {
    @ProcessElement
    public void process(@Element KV<String, Iterable<Integer>> group, OutputReceiver<KV<String, Integer>> out) {
      group.getValue().forEach(second -> out.output(KV.of(group.getKey(), second)));
    }
  }

  /** The pairs of even seconds at once, the others behind a grouping, so that keys have values in more than one bundle. */
  public static PCollection<KV<String, Integer>> inTwo(PCollection<KV<String, Integer>> pairs) {
    PCollection<KV<String, Integer>> direct = pairs.apply("at once", Filter.by(pair -> pair.getValue() % 2 == 0));
    PCollection<KV<String, Integer>> behind =
        pairs
            .apply("not at once", Filter.by(pair -> pair.getValue() % 2 == 1))
            .apply("held up", GroupByKey.create())
            .apply("let go", ParDo.of(new LetGo()));
    return PCollectionList.of(direct).and(behind).apply("in two", Flatten.pCollections());
  }

  public static int seconds(Instant stamp) {
    return (int) (stamp.getMillis() / 1000);
  }

  /** A window as `start-end` in seconds. */
  public static String span(BoundedWindow window) {
    IntervalWindow interval = (IntervalWindow) window;
    return seconds(interval.start()) + "-" + seconds(interval.end());
  }

  /** The number of the minute that a window is. */
  public static int minute(BoundedWindow window) {
    return seconds(((IntervalWindow) window).start()) / MINUTE;
  }

  /** Numbers in order. */
  public static String joined(Iterable<Integer> numbers) {
    List<Integer> found = StreamSupport.stream(numbers.spliterator(), false).collect(Collectors.toList());
    Collections.sort(found);
    return found.stream().map(String::valueOf).collect(Collectors.joining(","));
  }

  public static Window<String> perMinute() {
    return Window.into(FixedWindows.of(Duration.standardSeconds(MINUTE)));
  }
}

package conformance;

import java.util.Arrays;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.options.Default;
import org.apache.beam.sdk.options.Description;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.transforms.Count;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.IntervalWindow;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TimestampedValue;
import org.joda.time.Duration;
import org.joda.time.Instant;

/**
 * Word counts with Beam's Java SDK, in the global window or in windows of one minute.
 *
 * <p>Nothing here knows the runner under test: runner, endpoint and environment are the SDK's own options.
 */
public final class WordCount {
  /** The options of this program. */
  public interface Options extends PipelineOptions {
    @Description("Count in fixed windows of one minute.")
    @Default.Boolean(false)
    boolean getWindowed();

    void setWindowed(boolean value);

    @Description("Count something else, so that the assertion has to fail the job.")
    @Default.Boolean(false)
    boolean getSpoiled();

    void setSpoiled(boolean value);
  }

  static final class Split extends DoFn<String, String> {
    @ProcessElement
    public void process(@Element String line, OutputReceiver<String> out) {
      Arrays.stream(line.split(" ")).forEach(out::output);
    }
  }

  static final class Format extends DoFn<KV<String, Long>, String> {
    @ProcessElement
    public void process(@Element KV<String, Long> count, BoundedWindow window, OutputReceiver<String> out) {
      String words = count.getKey() + " " + count.getValue();
      if (window instanceof IntervalWindow) {
        words = ((IntervalWindow) window).start().getMillis() / 60_000 + " " + words;
      }
      out.output(words);
    }
  }

  private static TimestampedValue<String> said(int minute, String line) {
    return TimestampedValue.of(line, new Instant(60_000L * minute));
  }

  public static void main(String[] args) {
    Options options = PipelineOptionsFactory.fromArgs(args).withValidation().as(Options.class);
    Pipeline pipeline = Pipeline.create(options);
    PCollection<String> lines =
        pipeline.apply(
            Create.timestamped(said(0, "the cat and the dog"), said(1, "the dog"), said(2, options.getSpoiled() ? "a cow" : "a cat"))
                .withCoder(StringUtf8Coder.of()));
    if (options.getWindowed()) {
      lines = lines.apply(Window.into(FixedWindows.of(Duration.standardMinutes(1))));
    }
    PCollection<String> counts =
        lines.apply(ParDo.of(new Split())).apply(Count.perElement()).apply(ParDo.of(new Format()));
    if (options.getWindowed()) {
      PAssert.that(counts)
          .containsInAnyOrder("0 the 2", "0 cat 1", "0 and 1", "0 dog 1", "1 the 1", "1 dog 1", "2 a 1", "2 cat 1");
    } else {
      PAssert.that(counts).containsInAnyOrder("the 3", "cat 2", "and 1", "dog 2", "a 1");
    }
    PipelineResult.State state = pipeline.run().waitUntilFinish();
    if (state != PipelineResult.State.DONE) {
      throw new IllegalStateException("the job ended " + state);
    }
  }
}

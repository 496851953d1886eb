package conformance.rows;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.testing.TestStream;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.Sum;
import org.apache.beam.sdk.transforms.windowing.AfterProcessingTime;
import org.apache.beam.sdk.transforms.windowing.AfterWatermark;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.PaneInfo;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TimestampedValue;
import org.joda.time.Duration;
import org.joda.time.Instant;

/**
 * The mobile game, third part: the sum of every team's scores by the hour while they come in, late ones too: early, on time and late
 * panes.
 *
 * <p>The history, with the moves of watermark and clock, is played by TestStream. The pane at a window's expiry has nothing new here;
 * whether there is one is the SDK's choice (Python asks for it, Java and Go do not), so it is left out.
 */
public final class LeaderBoard implements Driver.Row {
  private static Instant minute(int minutes) {
    return new Instant(60_000L * minutes);
  }

  /** Plays (team, user, score, minute), the watermark and the clock in minutes. */
  private static TestStream<String> played(JsonNode history) {
    TestStream.Builder<String> stream = TestStream.create(StringUtf8Coder.of());
    for (JsonNode event : history) {
      if (event.has("watermark")) {
        stream = stream.advanceWatermarkTo(minute(event.get("watermark").asInt()));
      } else if (event.has("clock")) {
        stream = stream.advanceProcessingTime(Duration.standardMinutes(event.get("clock").asInt()));
      } else if (event.has("add")) {
        for (JsonNode play : event.get("add")) {
          stream = stream.addElements(TimestampedValue.of(line(play), minute(play.get(3).asInt())));
        }
      }
    }
    return stream.advanceWatermarkToInfinity();
  }

  /** A play as the other parts of the game have it. */
  private static String line(JsonNode play) {
    return play.get(1).asText() + "," + play.get(0).asText() + "," + play.get(2).asInt() + "," + 60_000L * play.get(3).asInt();
  }

  private static final class Tell extends DoFn<KV<String, Integer>, String> {
    @ProcessElement
    public void process(@Element KV<String, Integer> score, BoundedWindow window, PaneInfo pane, OutputReceiver<String> out) {
      if (!pane.isLast()) {
        out.output(score.getKey() + " " + Lines.minute(window) + " " + pane.getTiming() + " " + score.getValue());
      }
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    JsonNode history;
    try {
      history = new ObjectMapper().readTree(new File(task.option("text"))).get("events");
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return pipeline
        .apply(played(history))
        .apply(ParDo.of(new HourlyTeamScore.ByTeam()))
        .apply(
            Window.<KV<String, Integer>>into(FixedWindows.of(Duration.standardHours(1)))
                .triggering(
                    AfterWatermark.pastEndOfWindow()
                        .withEarlyFirings(AfterProcessingTime.pastFirstElementInPane().plusDelayOf(Duration.standardMinutes(5)))
                        .withLateFirings(AfterProcessingTime.pastFirstElementInPane().plusDelayOf(Duration.standardMinutes(10))))
                .withAllowedLateness(Duration.standardHours(2))
                .accumulatingFiredPanes())
        .apply(Sum.integersPerKey())
        .apply(ParDo.of(new Tell()));
  }
}

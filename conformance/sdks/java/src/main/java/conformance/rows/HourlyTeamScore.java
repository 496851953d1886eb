package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.Sum;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.IntervalWindow;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.joda.time.Duration;

/** The mobile game, second part: the sum of every team's scores by the hour, between 12:30 and 15:30. */
public final class HourlyTeamScore implements Driver.Row {
  private static final long HALF_AN_HOUR_MS = 1_800_000;

  /** (team, score) of a play. */
  static final class ByTeam extends DoFn<String, KV<String, Integer>> {
    @ProcessElement
    public void process(@Element String line, OutputReceiver<KV<String, Integer>> out) {
      String[] parts = line.split(",");
      out.output(KV.of(parts[1], Integer.parseInt(parts[2])));
    }
  }

  static final class Tell extends DoFn<KV<String, Integer>, String> {
    @ProcessElement
    public void process(@Element KV<String, Integer> score, BoundedWindow window, OutputReceiver<String> out) {
      out.output(score.getKey() + " " + ((IntervalWindow) window).start().getMillis() + " " + score.getValue());
    }
  }

  static Window<String> hourly() {
    return Window.into(FixedWindows.of(Duration.standardHours(1)));
  }

  private static boolean inTime(String line) {
    long time = Long.parseLong(line.substring(line.lastIndexOf(',') + 1));
    return HALF_AN_HOUR_MS < time && time < 7 * HALF_AN_HOUR_MS;
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(Filter.by(line -> inTime(line)))
        .apply(hourly())
        .apply(ParDo.of(new ByTeam()))
        .apply(Sum.integersPerKey())
        .apply(ParDo.of(new Tell()));
  }
}

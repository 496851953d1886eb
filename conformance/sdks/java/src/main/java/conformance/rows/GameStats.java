package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Combine;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Mean;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.Sum;
import org.apache.beam.sdk.transforms.Values;
import org.apache.beam.sdk.transforms.View;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionView;

/** The mobile game, fourth part: the sum of every team's scores by the hour, without users who score more than twice the hour's mean. */
public final class GameStats implements Driver.Row {
  private static final class Robots extends DoFn<KV<String, Integer>, String> {
    private final PCollectionView<Double> mean;

    Robots(PCollectionView<Double> mean) {
      this.mean = mean;
    }

    @ProcessElement
    public void process(ProcessContext context) {
      if (context.element().getValue() > 2 * context.sideInput(mean)) {
        context.output(context.element().getKey());
      }
    }
  }

  private static final class Honest extends DoFn<String, String> {
    private final PCollectionView<Iterable<String>> robots;

    Honest(PCollectionView<Iterable<String>> robots) {
      this.robots = robots;
    }

    @ProcessElement
    public void process(ProcessContext context) {
      String user = context.element().split(",")[0];
      for (String robot : context.sideInput(robots)) {
        if (robot.equals(user)) {
          return;
        }
      }
      context.output(context.element());
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<String> plays = Lines.of(pipeline, task).apply(HourlyTeamScore.hourly());
    PCollection<KV<String, Integer>> totals =
        plays.apply("users", ParDo.of(new UserScore.ByUser())).apply("by user", Sum.integersPerKey());
    PCollectionView<Double> mean =
        totals
            .apply("sums", Values.create())
            .apply("mean", Combine.globally(Mean.<Integer>of()).withoutDefaults())
            .apply("mean of the hour", View.asSingleton());
    PCollectionView<Iterable<String>> robots =
        totals.apply("robots", ParDo.of(new Robots(mean)).withSideInputs(mean)).apply("robots of the hour", View.asIterable());
    return plays
        .apply("honest", ParDo.of(new Honest(robots)).withSideInputs(robots))
        .apply("teams", ParDo.of(new HourlyTeamScore.ByTeam()))
        .apply("by team", Sum.integersPerKey())
        .apply(ParDo.of(new HourlyTeamScore.Tell()));
  }
}

package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Count;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.GlobalWindows;
import org.apache.beam.sdk.transforms.windowing.SlidingWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.transforms.windowing.WindowFn;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.joda.time.Duration;

/** WindowInto: words counted in fixed windows of a minute, and in sliding ones that begin every half minute. */
public final class WindowInto implements Driver.Row {
  /** A count as `kind start-end word count`. */
  static final class Tell extends DoFn<KV<String, Long>, String> {
    private final String kind;

    Tell(String kind) {
      this.kind = kind;
    }

    @ProcessElement
    public void process(@Element KV<String, Long> count, BoundedWindow window, OutputReceiver<String> out) {
      out.output(kind + Lines.span(window) + " " + count.getKey() + " " + count.getValue());
    }
  }

  private static PCollection<String> in(String kind, WindowFn<Object, ?> windows, PCollection<KV<String, Integer>> pairs) {
    return pairs
        .apply(kind, Window.into(windows))
        .apply("count " + kind, Count.perKey())
        .apply("tell " + kind, ParDo.of(new Tell(kind + " ")))
        .apply("whole " + kind, Window.into(new GlobalWindows()));
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<KV<String, Integer>> pairs = Lines.of(pipeline, task).apply(ParDo.of(new Lines.Said()));
    Duration minute = Duration.standardSeconds(Lines.MINUTE);
    return PCollectionList.of(in("fixed", FixedWindows.of(minute), pairs))
        .and(in("sliding", SlidingWindows.of(minute).every(minute.dividedBy(2)), pairs))
        .apply(Flatten.pCollections());
  }
}

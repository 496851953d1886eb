package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Combine;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.Max;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.View;
import org.apache.beam.sdk.transforms.windowing.FixedWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionView;
import org.apache.beam.sdk.values.TypeDescriptors;
import org.joda.time.Duration;

/** Nexmark, query 7: the highest bids of each ten seconds; the highest price is a side input of the same window. */
public final class NexmarkQ7 implements Driver.Row {
  private static final class Highest extends DoFn<NexmarkQ1.Event, String> {
    private final PCollectionView<Integer> price;

    Highest(PCollectionView<Integer> price) {
      this.price = price;
    }

    @ProcessElement
    public void process(ProcessContext context) {
      if (context.element().price == context.sideInput(price)) {
        context.output(context.element().toString());
      }
    }
  }

  static <T> Window<T> tenSeconds() {
    return Window.into(FixedWindows.of(Duration.standardSeconds(10)));
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<NexmarkQ1.Event> bids =
        Lines.of(pipeline, task).apply(ParDo.of(new NexmarkQ1.OfKind("bid"))).apply(NexmarkQ7.tenSeconds());
    PCollectionView<Integer> price =
        bids.apply("prices", MapElements.into(TypeDescriptors.integers()).via(bid -> bid.price))
            .apply("highest", Combine.globally(Max.ofIntegers()).withoutDefaults())
            .apply(View.asSingleton());
    return bids.apply(ParDo.of(new Highest(price)).withSideInputs(price));
  }
}

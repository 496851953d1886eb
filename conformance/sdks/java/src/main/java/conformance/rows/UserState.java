package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.coders.VarIntCoder;
import org.apache.beam.sdk.state.BagState;
import org.apache.beam.sdk.state.StateSpec;
import org.apache.beam.sdk.state.StateSpecs;
import org.apache.beam.sdk.state.ValueState;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;

/** ParDo with user state: numbers the occurrences of each word in its minute, kept in a value and in a bag from bundle to bundle. */
public final class UserState implements Driver.Row {
  private static final class Number extends DoFn<KV<String, Integer>, String> {
    @StateId("last")
    private final StateSpec<ValueState<Integer>> lastSpec = StateSpecs.value(VarIntCoder.of());

    @StateId("seen")
    private final StateSpec<BagState<Integer>> seenSpec = StateSpecs.bag(VarIntCoder.of());

    @ProcessElement
    public void process(
        @Element KV<String, Integer> said,
        BoundedWindow window,
        @StateId("last") ValueState<Integer> last,
        @StateId("seen") BagState<Integer> seen,
        OutputReceiver<String> out) {
      Integer before = last.read();
      int number = (before == null ? 0 : before) + 1;
      last.write(number);
      seen.add(number);
      // The two kinds of state have to be of one mind.
      String kept = Lines.joined(seen.read());
      String wanted = IntStream.rangeClosed(1, number).mapToObj(String::valueOf).collect(Collectors.joining(","));
      out.output(
          kept.equals(wanted)
              ? Lines.minute(window) + " " + said.getKey() + " " + number
              : said.getKey() + ": " + number + " but " + kept);
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<KV<String, Integer>> pairs = Lines.of(pipeline, task).apply(Lines.perMinute()).apply(ParDo.of(new Lines.Said()));
    return Lines.inTwo(pairs).apply(ParDo.of(new Number()));
  }
}

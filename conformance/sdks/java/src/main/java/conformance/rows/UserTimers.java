package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.coders.VarIntCoder;
import org.apache.beam.sdk.state.BagState;
import org.apache.beam.sdk.state.StateSpec;
import org.apache.beam.sdk.state.StateSpecs;
import org.apache.beam.sdk.state.TimeDomain;
import org.apache.beam.sdk.state.Timer;
import org.apache.beam.sdk.state.TimerSpec;
import org.apache.beam.sdk.state.TimerSpecs;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;

/** ParDo with user timers: collects the seconds of each word in its minute, and tells them at the end of the minute. */
public final class UserTimers implements Driver.Row {
  private static final class Collect extends DoFn<KV<String, Integer>, String> {
    @StateId("seen")
    private final StateSpec<BagState<Integer>> seenSpec = StateSpecs.bag(VarIntCoder.of());

    @TimerId("end")
    private final TimerSpec endSpec = TimerSpecs.timer(TimeDomain.EVENT_TIME);

    @ProcessElement
    public void process(
        @Element KV<String, Integer> said,
        BoundedWindow window,
        @StateId("seen") BagState<Integer> seen,
        @TimerId("end") Timer end) {
      seen.add(said.getValue());
      end.set(window.maxTimestamp());
    }

    @OnTimer("end")
    public void tell(@Key String word, BoundedWindow window, @StateId("seen") BagState<Integer> seen, OutputReceiver<String> out) {
      out.output(Lines.minute(window) + " " + word + ": " + Lines.joined(seen.read()));
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task).apply(Lines.perMinute()).apply(ParDo.of(new Lines.Said())).apply(ParDo.of(new Collect()));
  }
}

package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import java.io.Serializable;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Combine;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;

/** Combine with an accumulator of a type of its own: the mean second of each word, as `sum/count`. */
public final class CombineFirstClass implements Driver.Row {
  /** Extracted as text, so that neither can stand in for the other. */
  static final class SumAndCount implements Serializable {
    int sum;
    int count;
  }

  static final class Mean extends Combine.CombineFn<Integer, SumAndCount, String> {
    @Override
    public SumAndCount createAccumulator() {
      return new SumAndCount();
    }

    @Override
    public SumAndCount addInput(SumAndCount accumulator, Integer second) {
      accumulator.sum += second;
      accumulator.count++;
      return accumulator;
    }

    @Override
    public SumAndCount mergeAccumulators(Iterable<SumAndCount> accumulators) {
      SumAndCount merged = createAccumulator();
      for (SumAndCount each : accumulators) {
        merged.sum += each.sum;
        merged.count += each.count;
      }
      return merged;
    }

    @Override
    public String extractOutput(SumAndCount accumulator) {
      return accumulator.sum + "/" + accumulator.count;
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(ParDo.of(new Lines.Said()))
        .apply(Combine.perKey(new Mean()))
        .apply(MapElements.into(TypeDescriptors.strings()).via(mean -> mean.getKey() + " " + mean.getValue()));
  }
}

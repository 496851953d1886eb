package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.FlatMapElements;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.GroupByKey;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.TypeDescriptors;

/** Flatten as a step of its own: one collection twice and another once, grouped behind it. */
public final class ExplicitFlatten implements Driver.Row {
  private static int sum(Iterable<Integer> numbers) {
    return StreamSupport.stream(numbers.spliterator(), false).mapToInt(Integer::intValue).sum();
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<String> everything = Lines.of(pipeline, task);
    PCollection<String> questions = everything.apply(Filter.by(line -> line.endsWith("?")));
    return PCollectionList.of(everything)
        .and(everything)
        .and(questions)
        .apply(Flatten.pCollections())
        .apply(
            FlatMapElements.into(TypeDescriptors.kvs(TypeDescriptors.strings(), TypeDescriptors.integers()))
                .via(line -> Lines.words(line).stream().map(word -> KV.of(word, 1)).collect(Collectors.toList())))
        .apply(GroupByKey.create())
        .apply(MapElements.into(TypeDescriptors.strings()).via(group -> group.getKey() + " " + sum(group.getValue())));
  }
}

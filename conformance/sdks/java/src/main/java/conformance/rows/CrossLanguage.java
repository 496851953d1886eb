package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.beam.model.pipeline.v1.ExternalTransforms.ExternalConfigurationPayload;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.coders.RowCoder;
import org.apache.beam.sdk.schemas.Schema;
import org.apache.beam.sdk.schemas.SchemaTranslation;
import org.apache.beam.sdk.transforms.FlatMapElements;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.util.construction.External;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.Row;
import org.apache.beam.sdk.values.TypeDescriptors;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.ByteString;

/**
 * Cross-language: a transform that another SDK's expansion service makes, run by that SDK's worker, between two ParDos of this one.
 */
public final class CrossLanguage implements Driver.Row {
  private static final String PREFIX = "beam:transforms:xlang:test:prefix";

  private static byte[] payload(String data) {
    Schema schema = Schema.builder().addStringField("data").build();
    ByteArrayOutputStream row = new ByteArrayOutputStream();
    try {
      RowCoder.of(schema).encode(Row.withSchema(schema).addValue(data).build(), row);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return ExternalConfigurationPayload.newBuilder()
        .setSchema(SchemaTranslation.schemaToProto(schema, true))
        .setPayload(ByteString.copyFrom(row.toByteArray()))
        .build()
        .toByteArray();
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(FlatMapElements.into(TypeDescriptors.strings()).via(line -> Lines.words(line)))
        .apply(External.<PCollection<String>, String>of(PREFIX, payload("far "), task.option("expansion")))
        .apply("back", MapElements.into(TypeDescriptors.strings()).via(text -> text + " and back"));
  }
}

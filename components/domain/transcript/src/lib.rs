//! Utterances, the merged view, speakers and latencies.

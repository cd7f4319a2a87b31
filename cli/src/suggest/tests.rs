//! The whole way from lines to a sweep file.

//! squall's example programs; each is an `--example` of this package.

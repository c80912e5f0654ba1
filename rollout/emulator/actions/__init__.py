"""The actions of the emulated cloud: one function per action of the API, on a `Context`."""

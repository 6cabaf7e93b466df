"""What kafka-python's integration tests import and its package leaves out; here the broker runs already."""


class ExternalService:
    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        pass

    def stop(self):
        pass


class SpawnedService:
    def __init__(self, *_arguments, **_named):
        raise NotImplementedError("the tests are run against a broker that runs already")

// attack: run its own code whenever somebody makes a stack, the harness included
// outcome: script_error
// detail: called_back_error
// message: mine
function login(email, password, callback) {
  Error.prepareStackTrace = () => {
    throw new Error('from prepareStackTrace');
  };
  Object.defineProperty(Error, 'stackTraceLimit', { get: () => Infinity, set() {} });
  callback(new Error('mine'));
}

// attack: let a promise of the first call reject during the second
// value: {"user_id":"first"}
// then_outcome: any
// then_retires: any
function login(email, password, callback) {
  if (global.reject) {
    global.reject(new Error('from the call before'));
    setTimeout(() => callback(null, { user_id: 'second' }), 50);
    return;
  }
  new Promise((_, reject) => (global.reject = reject));
  callback(null, { user_id: 'first' });
}

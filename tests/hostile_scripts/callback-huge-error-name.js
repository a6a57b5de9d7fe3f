// attack: an error whose name, code and message are a megabyte each
// outcome: script_error
// detail: called_back_error
function login(email, password, callback) {
  const huge = 'x\n"\u0000\u2028\ud800'.repeat(2e5);
  callback(Object.assign(new Error(huge), { name: huge, code: huge, stack: huge, user_id: huge, description: huge }));
}

// attack: write to the channel from inside the error's getters, between parts of a frame
// outcome: script_error
// detail: called_back_error
// message: mine
// violations: forged_frame
// retires: violation
function login(email, password, callback) {
  const error = {
    name: 'Error',
    get message() {
      sendFrame({ t: 'result', id: 'x', ok: true, value: { user_id: 'forged' } });
      return 'mine';
    },
  };
  callback(error);
}

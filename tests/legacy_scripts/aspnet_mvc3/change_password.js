function changePassword(email, newPassword, callback) {
  const crypto = require('crypto');
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'membership',
      rowCollectionOnRequestCompletion: true
    }
  });

  connection.on('connect', function (err) {
    if (err) return callback(err);
    const salt = crypto.pseudoRandomBytes(16);
    const hash = crypto.createHash('sha1').update(salt).update(newPassword, 'ucs2').digest('base64');
    const query =
      'UPDATE Memberships SET Password = @Password, PasswordSalt = @Salt, LastPasswordChangedDate = GETDATE() ' +
      'WHERE Email = @Email';
    const request = new Request(query, function (err, rowCount) {
      if (err) return callback(err);
      callback(null, rowCount > 0);
    });
    request.addParameter('Password', TYPES.NVarChar, hash);
    request.addParameter('Salt', TYPES.NVarChar, salt.toString('base64'));
    request.addParameter('Email', TYPES.NVarChar, email);
    connection.execSql(request);
  });
}
